"""What the commands of films share: which film, whether to ask, whether to follow."""

import click

film_option = click.option("--film", "film_id", required=True, metavar="ID", help="The film.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
watch_option = click.option("--watch", "watched", is_flag=True, help="Follow the film until it is over or waits.")
