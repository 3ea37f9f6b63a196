"""The words of the contract that options take, here so that help and completion need not load the contract.

A word is the name of a value in lower case, without the prefix of its enum.
"""

STATES = ("queued", "running", "needs_attention", "cancelling", "succeeded", "failed", "cancelled", "expired")
FINAL_STATES = ("succeeded", "failed", "cancelled", "expired")
KINDS = ("video", "image", "speech", "sound")
ROLES = (
    "first_frame",
    "last_frame",
    "reference",
    "source_video",
    "reference_video",
    "reference_audio",
    "keyframe",
)
ON_UNKNOWN = ("ask", "resubmit")
AUDIT_ACTIONS = (
    *("generate", "cancel", "resolve", "upload_asset", "delete_asset", "delete_scene"),
    *("plan_film", "start_film", "approve_film", "export_film", "cancel_film", "delete_film"),
    *("create_webhook", "update_webhook", "delete_webhook", "rotate_secret", "token_refused"),
)
DELIVERY_STATES = ("pending", "delivered", "given_up")
FOLDERS = ("images", "audio", "videos", "metadata", "exports")
"""The folders of a scene."""
