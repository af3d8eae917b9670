"""FFmpeg lives here: probing, deciding, rendering, joining, checking.

Deciding (planner, picture, sound, text, commands, encoders' tables) is pure. Only ``ffmpeg.py``
starts a process. Knows nothing of caches, jobs' storage or anybody who watches.
"""
