"""The pages as a person meets them, in a real Chromium; and their pure modules in Node."""
