"""The rollout's core: what is to be done next, as a pure function of what was seen.

`decide` is the function, `world` what it is given, `decision` what it answers. `plan` has the stations of the
way forward and back as data, `stations` does what one asks for. No clock, no network, no thread, no chance.
"""
