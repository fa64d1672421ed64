"""What goes back over the protocol, where it takes more than one field after the other."""

from __future__ import annotations

import orjson
import pytest

from web.mlflow.messages import AT_ONCE, json_list


@pytest.mark.parametrize("length", [0, 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE])
def test_a_list_is_whole_whatever_its_length(length: int) -> None:
    rows = [{"number": number} for number in range(length)]

    assert orjson.loads(orjson.dumps({"rows": json_list(iter(rows))})) == {"rows": rows}
