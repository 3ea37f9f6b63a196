"""`evergreen models`: what the service can generate, from what, and for how many credits."""

import click

from evergreen.cli.names import KINDS
from evergreen.cli.output import write_json
from evergreen.cli.session import global_options, session
from evergreen.cli.verbs import verb


@verb(examples=("evergreen models --kind video", "evergreen models --output json | jq -r .model"))
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(KINDS),
    help="Only what makes this. Can be repeated. Default: all.",
)
@global_options()
@click.pass_context
def models(context: click.Context, kinds: tuple[str, ...]) -> None:
    """List the models, with what they make, their bounds and prices.

    Each row is one model in one operation. With --output json, all values of long lists are shown.
    """
    from evergreen.cli.work.jobs import kinds_of
    from evergreen.cli.work.models import write_models

    ours = session(context)
    listed = ours.run(lambda client: client.models(kinds_of(kinds)))
    if ours.json:
        for each in listed:
            write_json(each)
        return
    write_models(listed)
