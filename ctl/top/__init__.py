"""The live screen: what the daemon does now, for who watches and acts.

`snapshot` is what is shown, `source` fetches it in threads of its own, `view` is what keys mean, `picture` draws it with
Rich (which is imported there alone), `terminal` is the terminal's state and its way back, `screen` the loop, `plain` the
same as text.
"""
