"""What differs between operating systems: processes, signals, forks, who may read a file.

``posix`` is the one module with calls that Windows lacks, ``windows`` the one with calls that only Windows has.
The others choose between the two, and are what everybody else uses.
"""
