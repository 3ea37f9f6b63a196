"""Imports all modules of the installed packages but those that need a package of an extra that is not installed."""

from importlib import import_module
from pkgutil import walk_packages


def main() -> None:
    imported, absent = 0, set[str]()
    for package in ("evergreen", "evergreen_storage", "evergreen_server"):
        for found in walk_packages(import_module(package).__path__, f"{package}."):
            if found.name.endswith(".__main__"):
                continue
            try:
                import_module(found.name)
                imported += 1
            except ModuleNotFoundError as exc:
                # Whatever the extra brings is there, or it could not have been installed.
                if exc.name is None or exc.name.startswith("evergreen"):
                    raise
                absent.add(exc.name.partition(".")[0])
    print(f"{imported} modules; not installed: {', '.join(sorted(absent)) or 'nothing'}")


if __name__ == "__main__":
    main()
