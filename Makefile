# `make VERB` is `./run VERB`; `make` alone lists the verbs.
.PHONY: list build demo test bench bench-accuracy bench-peers bench-flower sim soak chaos mutants check format coverage conformance clean
list:
	@./run
build demo test bench bench-accuracy bench-peers bench-flower sim soak chaos mutants check format coverage conformance clean:
	@./run $@
