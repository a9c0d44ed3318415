from dataclasses import replace

import pytest

from edgeretrain.benchmark.host import (
    CpuShare,
    cpu_name,
    describe_host,
    dot_product_of,
    host_state,
    int8_note,
    versions,
)
from tests.benchmarks import HOST

XEON = "processor\t: 0\nmodel name\t: Intel(R)  Xeon(R) Processor\nflags\t\t: fpu avx2 avx_vnni avx512_vnni sse\n"
HASWELL = "model name\t: Intel(R) Core(TM) i7-4770\nflags\t\t: fpu avx2 avx_vnni_int8 sse\n"
N1 = "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"
PI4 = "Features\t: fp asimd crc32\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\nHardware\t: BCM2711\n"


@pytest.mark.parametrize(
    ("text", "flags", "name"),
    [
        (XEON, ("avx_vnni", "avx512_vnni"), "Intel(R) Xeon(R) Processor"),
        (HASWELL, (), "Intel(R) Core(TM) i7-4770"),
        (N1, ("asimddp",), "ARM implementer 0x41 part 0xd0c"),
        (PI4, (), "BCM2711"),
        ("", (), None),
    ],
)
def test_cpuinfo_is_read_for_x86_and_arm(text, flags, name):
    assert dot_product_of(text) == flags
    assert cpu_name(text) == name


def test_int8_note_says_what_each_processor_means():
    assert "AVX-VNNI), so int8 is usually faster here" in int8_note(HOST)
    assert "int8 can be slower than float32" in int8_note(replace(HOST, dot_product=()))
    assert "does not tell" in int8_note(replace(HOST, dot_product=None))
    for features in (("asimddp",), (), None):
        note = int8_note(replace(HOST, dot_product=features))
        assert "judge it on a phone" in note
        assert "\n" not in note


def test_describe_host_fills_what_any_system_knows():
    host = describe_host()
    assert host.cpu
    assert host.threads >= host.cores >= 1
    assert host.memory_bytes > 1 << 28
    state = host_state()
    assert state.load_1min is None or state.load_1min >= 0
    assert state.clock_mhz is None or state.clock_mhz > 0


def test_versions_name_what_takes_part():
    found = versions()
    assert {"edgeretrain", "python", "ai-edge-litert", "numpy", "sha256"} <= set(found)


def test_cpu_share_is_a_share():
    share = CpuShare()
    sum(range(2_000_000))
    assert 0 <= share.of_others() <= 1
