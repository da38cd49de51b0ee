"""Stands for a package's build backend while pip downloads its source.

pip asks for the package's name and version before it keeps the file; the real backends would
configure a whole build to answer.
"""
import email
import pathlib


def prepare_metadata_for_build_wheel(folder, config_settings=None):
    text = pathlib.Path("PKG-INFO").read_text()
    fields = email.message_from_string(text)
    info = pathlib.Path(folder, f"{fields['Name']}-{fields['Version']}.dist-info")
    info.mkdir()
    (info / "METADATA").write_text(text)
    return info.name


def get_requires_for_build_wheel(config_settings=None):
    return []
