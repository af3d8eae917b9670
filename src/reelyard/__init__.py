"""Reelyard: a render farm for video compilations."""
