"""A target whose artifacts are text files that say what the runtime does."""

from pocketpress.core.target import TargetSpec

SPEC = TargetSpec(
    name="fake",
    title="Fake",
    suffix=".fake",
    package="tests.devices.fake_runtime",
    requires=(),
    groups=(),
    precisions=("fp32",),
)
