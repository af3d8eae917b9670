"""Bytes in and out: the segment cache, work folders, job logs, remembered facts.

Whatever is written appears under a temporary name on the same file system, is checked, then renamed.
Knows nothing of FFmpeg or of plans: a key is a name, a file is bytes.
"""
