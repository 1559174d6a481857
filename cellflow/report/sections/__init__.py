"""The sections of a report, one a file: functions from `Contents` to pieces of the page."""
