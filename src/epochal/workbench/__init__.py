"""The application without a screen: session, intents, commands and views."""
