"""`ganserve import`: anyone's generator becomes a file of the contract. It needs what `ganserve[serve]` brings."""
