"""The table: what each model takes in each operation, by the provider's own field names.

Which fields there are, which are required and which values they have is compared with the provider's SDK, see
`scripts/compare_sdk.py`. What its types do not say has these sources: bounds of lengths and counts its OpenAPI
description (of August and September 2026), lower ones also the smallest values in the SDK's own tests; rules between
fields and bounds of media the words in both, and the provider's guides to inputs; prices its price pages. A bound that
is not known is left open (None), so that nothing is refused which the provider may take; but where a request could then
ask for too much, it is the largest of any model (`LONGEST_SECONDS`, `LONGEST_SOURCE_SECONDS`, `MOST_OUTPUTS`,
`MOST_REFERENCES`).
"""

from collections.abc import Mapping
from types import MappingProxyType

from evergreen_server.providers.runway.catalog.rows.finishing_models import finishing_rows
from evergreen_server.providers.runway.catalog.rows.picture_models import picture_rows
from evergreen_server.providers.runway.catalog.rows.recipes import recipe_rows
from evergreen_server.providers.runway.catalog.rows.runway_models import video_rows
from evergreen_server.providers.runway.catalog.rows.sound_models import sound_rows
from evergreen_server.providers.runway.catalog.rows.vocabulary import Row
from evergreen_server.providers.runway.catalog.rules import Operation

__all__ = ["TABLE"]


def _table() -> Mapping[tuple[Operation, str], Row]:
    families = (video_rows, picture_rows, sound_rows, finishing_rows, recipe_rows)
    return MappingProxyType({(one.operation, one.model): one for family in families for one in family()})


TABLE: Mapping[tuple[Operation, str], Row] = _table()
