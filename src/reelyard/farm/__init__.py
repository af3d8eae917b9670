"""The farm: Celery's app and tasks, a worker's life, the embedded broker, everything on one machine.

Celery carries messages and runs one task at a time; it decides nothing. Whose turn it is, who owns a job
and whether a message still means anything is in the database.
"""
