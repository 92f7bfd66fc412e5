"""The core on Trio: one task per stack, one deadline, streams and listeners as `trio.abc` has them."""
