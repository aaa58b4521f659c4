"""Pure: facts of a pair upgrade to its next step, with the sentence that pages and logs show (F7)."""
