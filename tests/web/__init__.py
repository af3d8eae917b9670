"""The pages, looked at with a real browser over a real farm."""
