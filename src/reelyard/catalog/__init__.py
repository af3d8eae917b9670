"""Neighbours that know things: catalogues of videos, and where results are recorded.

Google's library is loaded only where BigQuery is used.
"""
