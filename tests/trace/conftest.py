import pytest


@pytest.fixture(params=[0, 2**32 - 2], ids="iss={}".format)
def iss(request: pytest.FixtureRequest) -> int:
    """Our initial sequence number: relative numbers are the same across the wrap."""
    return int(request.param)


@pytest.fixture(params=[0, 2**32 - 2], ids="irs={}".format)
def irs(request: pytest.FixtureRequest) -> int:
    """The peer's initial sequence number."""
    return int(request.param)
