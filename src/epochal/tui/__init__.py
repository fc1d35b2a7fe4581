"""The screens: they draw views and send intents."""
