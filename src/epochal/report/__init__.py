"""The test report as files."""
