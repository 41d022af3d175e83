// Nothing to compile: this target exists for the linker settings of libadadiff.so (see Package.swift), which the command
// and the tests, linking the same modules, must not get.
