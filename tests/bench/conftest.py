from hypothesis import settings

# Other work on the machine must not fail a property for being slow.
settings.register_profile("bench", deadline=None)
settings.load_profile("bench")
