"""Makes the sandbox's files, in processes of its own: pictures, clips, speech and sounds, by PyAV, Pillow and NumPy.

It stands beside the sandbox and not in it, so that a worker loads those three libraries and nothing of a server.
"""
