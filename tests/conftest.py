import random
from pathlib import Path

import hypothesis
import pytest
import torch
from transformers import AutoTokenizer

from lib.airl import discriminator
from lib.data import demonstrations, reading, world
from lib.models import scratch
from lib.study import params
from lib.text import traces

hypothesis.settings.register_profile("study", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("study")

ROOT = Path(__file__).parents[1]
LONGEST = (
    "test_end_to_end.py test_full_scale.py test_launch.py test_pages.py test_contributing.py test_browser.py "
    "test_trainer.py test_reward.py test_repository.py"
).split()


def pytest_collection_modifyitems(items):
    """The longest files first, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Matrices this small only wait for each other on several threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def backbone_dirs(tmp_path_factory):
    """A directory with a tiny untrained causal LM and its tokenizer, for each architecture."""
    rng, texts = random.Random(0), []
    for _ in range(300):
        problem = world.generate(rng, rng.choice(list(world.FAMILIES)), rng.randint(1, 4))
        texts += [problem.question, world.unreliable(problem, rng, malformed=0.1)]
    tokenizer = scratch.train_tokenizer(texts, world.LARGEST)
    directories = {}
    for architecture in scratch.CONFIGS:
        torch.manual_seed(0)
        directories[architecture] = tmp_path_factory.mktemp(architecture)
        model = scratch.build(architecture, hidden=32, layers=2, heads=2, tokenizer=tokenizer)
        model.save_pretrained(directories[architecture])
        tokenizer.save_pretrained(directories[architecture])
    return directories


@pytest.fixture(scope="session")
def backbone(backbone_dirs):
    """The Qwen2 directory, for what does not depend on the architecture."""
    return backbone_dirs["qwen2"]


@pytest.fixture(scope="session")
def tokenizer(backbone):
    return AutoTokenizer.from_pretrained(backbone)


@pytest.fixture(scope="session")
def experts():
    """A dozen demonstrations of the world."""
    splits = demonstrations.make_world_splits(
        train=1,
        demonstrations=12,
        validation=1,
        test=1,
        test_long=1,
        steps=[1, 2],
        long_steps=[3],
        seed=0,
    )
    return splits["demonstrations"]


@pytest.fixture(scope="session")
def settings():
    """The parameters of the profile `tiny`, with policies on both backbones."""
    tree = params.apply_profile(ROOT / "params.yaml", "tiny") | {"policies": ["qwen2", "llama"]}
    return params.validate(tree, "params.yaml")


@pytest.fixture(scope="module")
def reward_model(backbone):
    """A head whose adapter has learned nothing yet."""
    torch.manual_seed(0)
    return discriminator.HeadDiscriminator.new(backbone, r=2, alpha=4)


@pytest.fixture
def sample_rows(experts):
    """Two samples a problem: the expert's own trace, and one that is wrong in its first step."""
    rows = []
    for problem, expert in enumerate(experts):
        for sample, text in enumerate([expert.trace, traces.render(["1+1=3 beads"], "3")]):
            wrong = reading.first_wrong_unit(text, expert.trace)
            rows.append({"problem": problem, "sample": sample, "text": text, "first_wrong_unit": wrong})
    return rows
