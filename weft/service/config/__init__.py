"""What the service can be told: settings, the file that holds the settings, and API keys.

Called by all rooms of the service. To add a setting, add a field with a docstring to `settings`
or to the file of a section: the docs, the schema and the errors follow. Trades away: one file,
no includes.
"""
