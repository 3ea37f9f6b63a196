"""Makes films of timelines: pictures copied or conformed, one mix of sound, captions, one file."""
