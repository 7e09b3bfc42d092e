"""Taking a drive's `xl.meta` files away once the store is the only truth: hold, purge, directories.

`hold` moves files aside on the same file system, so that nothing is lost and nothing costs space; `purge`
removes what is held; `directories` removes directories that are empty because of that. Each step asks
`preconditions` first, writes down in the store what it is about to do before it does it, and can be killed
and started again at any point. `records` is what they write down; `restore` reads it.
"""
