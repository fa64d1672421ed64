"""Prompts through the stock mlflow client, 3.18 or 2.22: they are kept as models, and listed apart from them.

Run with MLFLOW_TRACKING_URI and MLFLOW_TRACKING_TOKEN set; prints OK when every step did what it should.
"""

import json

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

IS_3 = mlflow.__version__.startswith("3")
prompts = mlflow.genai if IS_3 else mlflow
name = f"greeting-{mlflow.__version__.replace('.', '-')}"
client = MlflowClient()


def refusal(act) -> str:
    """The error code of a call that must be refused."""
    try:
        act()
    except MlflowException as error:
        return error.error_code
    raise AssertionError("it was taken")


# Versions
first = prompts.register_prompt(name, "Hello {{who}}", commit_message="As polite as before", tags={"team": "support"})
second = prompts.register_prompt(name, "Dear {{who}},\n\ngrüß Gott — 你好 {{when}}", commit_message="More polite")
assert (int(first.version), int(second.version)) == (1, 2)
assert second.format(who="Ada", when="today") == "Dear Ada,\n\ngrüß Gott — 你好 today"
loaded = prompts.load_prompt(f"prompts:/{name}/1")
assert loaded.template == "Hello {{who}}" and loaded.commit_message == "As polite as before"
assert loaded.variables == {"who"} and loaded.tags["team"] == "support"
assert prompts.load_prompt(name, version=2).template == second.template

# Aliases
prompts.set_prompt_alias(name, alias="production", version=1)
assert int(prompts.load_prompt(f"prompts:/{name}@production").version) == 1
prompts.set_prompt_alias(name, alias="production", version=2)
assert int(prompts.load_prompt(f"prompts:/{name}@production").version) == 2
prompts.delete_prompt_alias(name, alias="production")
assert refusal(lambda: client.get_model_version_by_alias(name, "production")) == "INVALID_PARAMETER_VALUE"

# Listed apart from models
client.create_registered_model(f"{name}-model")
models = [m.name for m in client.search_registered_models(max_results=1000)]
assert f"{name}-model" in models and name not in models
assert [m.name for m in client.search_registered_models("tags.`mlflow.prompt.is_prompt` = 'true'")] == [name]
assert refusal(lambda: prompts.register_prompt(f"{name}-model", "Hello")) == "INVALID_PARAMETER_VALUE"

if IS_3:
    # A chat with settings, and the searches and tags of their own
    chat = [{"role": "system", "content": "You are {{style}}."}, {"role": "user", "content": "{{question}}"}]
    settings = {"model_name": "some-model", "temperature": 0.2}
    third = prompts.register_prompt(name, chat, model_config=settings, response_format={"type": "object"})
    read = prompts.load_prompt(name, version=3)
    assert read.template == chat and read.response_format == {"type": "object"}
    assert read.model_config["temperature"] == 0.2
    assert prompts.load_prompt(f"prompts:/{name}@latest").version == third.version == 3
    assert [p.name for p in prompts.search_prompts(f"name = '{name}'")] == [name]
    prompts.set_prompt_tag(name, "owner", "ada")
    assert prompts.get_prompt_tags(name)["owner"] == "ada"
    prompts.delete_prompt_tag(name, "owner")
    assert "owner" not in prompts.get_prompt_tags(name)
    prompts.set_prompt_version_tag(name, 1, "checked", "yes")
    assert prompts.load_prompt(name, version=1).tags["checked"] == "yes"
    prompts.delete_prompt_version_tag(name, 1, "checked")
    assert "checked" not in prompts.load_prompt(name, version=1, cache_ttl_seconds=0).tags
    assert [v.version for v in client.search_prompt_versions(name)] == [3, 2, 1]
    with mlflow.start_run() as run:
        used = prompts.load_prompt(f"prompts:/{name}/2")
    linked = json.loads(client.get_run(run.info.run_id).data.tags["mlflow.linkedPrompts"])
    assert linked == [{"name": name, "version": str(used.version)}]
    for number in (1, 2, 3):
        client.delete_prompt_version(name, str(number))
    client.delete_prompt(name)
    assert not list(prompts.search_prompts(f"name = '{name}'"))

print("OK", mlflow.__version__)
