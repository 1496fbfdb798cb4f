"""Web artifacts in a headless Chromium, against files of the browser runtimes' own converters."""
