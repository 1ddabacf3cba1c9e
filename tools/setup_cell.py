# Setup. In Colab this fetches the project and what the runtime lacks (about a minute, once).
import importlib.util, pathlib, shutil, subprocess, sys  # noqa: E401, I001

MY_DRIVE = False  # @param {type:"boolean"} in Colab: keep data and results in your Google Drive
if "google.colab" in sys.modules:
    root = pathlib.Path("microseg-notebooks").absolute()
    uploads = sorted(root.parent.glob("microseg-notebooks*.zip"))  # or from an uploaded zip
    if not root.exists() and uploads:
        shutil.unpack_archive(uploads[-1], root)
    elif not root.exists():
        address = "REPOSITORY_ADDRESS"
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", address, root], check=True)
    sys.path.insert(0, str(next(root.rglob("helpers/__init__.py")).parents[1]))
    importlib.import_module("helpers.colab").prepare(my_drive=MY_DRIVE)
elif importlib.util.find_spec("helpers") is None:  # not installed: started from notebooks/
    sys.path.insert(0, str(pathlib.Path.cwd().parent))
_ = importlib.import_module("helpers")  # first, so that older packages work and stay quiet
