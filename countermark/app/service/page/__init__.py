"""The page for people: pictures in, answers out, in a browser, with nothing kept and nothing sent on."""
