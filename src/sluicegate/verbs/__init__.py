"""What each verb of the command line does. `cli.py` imports a verb's file when the verb is asked for."""
