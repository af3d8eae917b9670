"""The database: the only SQL there is. Domain values go in and come out, never rows.

It is the truth about jobs. Every change of a job's state is one compare-and-set that names the event
(``domain.lifecycle``) and carries the lease's token; who gets False lost the job and writes nothing.
Times are the database's own clock, so that machines whose clocks differ agree on leases.
"""
