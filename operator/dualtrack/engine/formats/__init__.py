"""What servers write, as values and back: functions of bytes, which open nothing.

`xlmeta` is the file, `versions` a version's header, `bodies` what a header announces, `inline` and `bitrot`
small content, `changes` what a server does to it all; `legacy/` is every form from before today's.
"""
