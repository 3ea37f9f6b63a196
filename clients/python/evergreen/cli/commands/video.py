"""`evergreen video`: generates clips, and follows jobs."""

from evergreen.cli.commands.generate import generate
from evergreen.cli.commands.jobs import VERBS
from evergreen.cli.session import global_options
from evergreen.cli.verbs import verbs


@verbs(examples=("evergreen video generate --project film --scene s1 --image a.jpg --prompt '…' --watch",))
@global_options()
def video() -> None:
    """Generate clips, and follow jobs, as `evergreen job` does."""


for _command in (generate, *VERBS):
    video.add_command(_command)
