"""The command `evergreen token`."""

import json

import click

__all__ = ["token"]


@click.command()
@click.option("--name", required=True, help="The owner's name; identifies the line in the tokens file.")
@click.option(
    "--project", "projects", multiple=True, metavar="ID", help="A project that the token is valid for. Can be repeated."
)
@click.option("--all-projects", is_flag=True, help="The token is valid for every project, including new ones.")
@click.option(
    "--right",
    "rights",
    multiple=True,
    type=click.Choice(["read", "write", "approve", "admin"]),
    help="A right of the token. Can be repeated. Default: read and write.",
)
@click.option(
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    help="json prints the token and its line on stdout.",
)
def token(name: str, projects: tuple[str, ...], all_projects: bool, rights: tuple[str, ...], output: str) -> None:
    """Create a token. Prints its line for EVERGREEN_TOKENS_FILE and, on stderr, the token itself, only this once.

    evergreen token --name studio --project film >> tokens
    """
    from evergreen_server.rpc.access.policy import Right
    from evergreen_server.rpc.access.tokens import new_token

    if projects and all_projects:
        raise click.UsageError("it is for all projects, or for some: give --all-projects or --project, not both")
    if not projects and not all_projects:
        raise click.UsageError("say whose jobs and scenes it is for: --project ID, or --all-projects")
    try:
        made, line = new_token(name, projects, [Right(right) for right in dict.fromkeys(rights or ("read", "write"))])
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
    if output == "json":
        click.echo(json.dumps({"token": made, "entry": json.loads(line)}))
    else:
        click.echo(line)
        click.echo(f"The token, which is kept nowhere: {made}", err=True)
