"""How an installed client becomes the version its site brings: asked, fetched, proven, or gone back from."""
