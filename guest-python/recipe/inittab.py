"""Registers the modules of all packages as built-in ones."""
from .package import Package


def inittab(packages: list[Package]) -> str:
    """The C file that registers the modules of all packages, under their full names."""
    modules = [module for package in packages for module in package.modules]
    declared = "".join(f"PyMODINIT_FUNC {function}(void);\n" for _, function in modules)
    rows = "".join(f'    {{"{name}", {function}}},\n' for name, function in modules)
    return ("#include <Python.h>\n#include <pthread.h>\n\n"
            "/* CPython brings stand-ins for pthread functions; libc++ wants one more, and wasi-libc's own lies\n"
            "   in a file with those that CPython has. One thread: nobody waits. */\n"
            "int pthread_cond_broadcast(pthread_cond_t *condition)\n{\n    (void)condition;\n    return 0;\n}\n\n"
            "/* Arrow registers handlers of forks, which cannot happen here. */\n"
            "int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));\n"
            "int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))\n{\n"
            "    (void)prepare;\n    (void)parent;\n    (void)child;\n    return 0;\n}\n\n"
            f"{declared}\nstatic struct _inittab table[] = {{\n{rows}    {{NULL, NULL}},\n}};\n\n"
            "/* Before davy_boot: the table must be full when Python starts. */\n"
            "__attribute__((constructor)) static void add_packages(void)\n{\n"
            "    PyImport_ExtendInittab(table);\n}\n")
