from service import quiet as quiet
