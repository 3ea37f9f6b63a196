"""Takes out of package-lock.json the addresses of licences and of who asks for money: a lock is to name no host."""

import json
from pathlib import Path

LOCK = Path(__file__).parents[1] / "package-lock.json"


def main() -> None:
    lock = json.loads(LOCK.read_text())
    for package in lock["packages"].values():
        package.pop("funding", None)
        if "://" in str(package.get("license")):
            del package["license"]
    LOCK.write_text(json.dumps(lock, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
