/* Compiles kernels with the host's C compiler into shared libraries, which stay in the temporary
 * folder so that each source is compiled once for all the test programs. */

#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "emulation.h"

extern char **environ;

static const char prelude[] = {
#include "prelude.inc"
    0};

#define MARKER "EmulationKernelMarker"

/* Values of nvrtcResult. */
enum {
    NVRTC_SUCCESS = 0,
    NVRTC_ERROR_INVALID_INPUT = 3,
    NVRTC_ERROR_INVALID_PROGRAM = 4,
    NVRTC_ERROR_COMPILATION = 6,
    NVRTC_ERROR_INTERNAL_ERROR = 11,
};

typedef struct Text {
    char *characters;
    size_t length, capacity;
} Text;

static void append(Text *text, const char *characters, size_t length) {
    if (text->length + length + 1 > text->capacity) {
        text->capacity = 2 * (text->length + length + 1);
        text->characters = realloc(text->characters, text->capacity);
        if (!text->characters) emulation_abort("the host is out of memory");
    }
    memcpy(text->characters + text->length, characters, length);
    text->length += length;
    text->characters[text->length] = '\0';
}

static void append_string(Text *text, const char *string) { append(text, string, strlen(string)); }

static __attribute__((format(printf, 2, 3))) void append_format(Text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *string;
    if (vasprintf(&string, format, arguments) < 0) emulation_abort("the host is out of memory");
    va_end(arguments);
    append_string(text, string);
    free(string);
}

static int read_file(Text *text, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    char part[1 << 14];
    for (size_t length; (length = fread(part, 1, sizeof part, file)) > 0;) append(text, part, length);
    fclose(file);
    return 1;
}

static int write_file(const Text *text, const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file) return 0;
    int whole = fwrite(text->characters, 1, text->length, file) == text->length;
    return fclose(file) == 0 && whole;
}

typedef struct Program {
    Text source, log, module;
} Program;

/* Trampolines. A launch hands over the addresses of the arguments and not their types, which only
 * the source knows: each kernel gets a function beside it that loads them. The source is read after
 * preprocessing, where comments are gone and kernels made by macros are spelled out. */

static int is_word(char character) { return isalnum((unsigned char)character) || character == '_'; }

static char *skip_space(char *at) {
    while (isspace((unsigned char)*at)) at++;
    return at;
}

static void blank(char *start, const char *end) {
    for (; start < end; start++)
        if (*start != '\n') *start = ' ';
}

static char *find_word(char *text, const char *word) {
    size_t length = strlen(word);
    for (char *at = text; (at = strstr(at, word)); at += length)
        if ((at == text || !is_word(at[-1])) && !is_word(at[length])) return at;
    return NULL;
}

/* `extern "C"` is what C has anyway. */
static void blank_linkage(char *text) {
    for (char *at = text; (at = find_word(at, "extern"));) {
        char *language = skip_space(at + strlen("extern"));
        if (strncmp(language, "\"C\"", 3) == 0) blank(at, language + 3);
        at = language;
    }
}

/* The type of the parameter between two commas: all of it but the last word. */
static void append_argument(Text *trampoline, char *start, char *end, int index) {
    char *declaration = strndup(start, (size_t)(end - start));
    if (!declaration) emulation_abort("the host is out of memory");
    for (int word = 0; word < 3; word++) {
        static const char *const words[] = {"__restrict", "__restrict__", "restrict"};
        for (char *at; (at = find_word(declaration, words[word]));) blank(at, at + strlen(words[word]));
    }
    char *last = declaration + strlen(declaration);
    while (last > declaration && isspace((unsigned char)last[-1])) last--;
    while (last > declaration && is_word(last[-1])) last--;
    *last = '\0';
    append_format(trampoline, "%s*(%s*)parameters[%d]", index ? ", " : "", declaration, index);
    free(declaration);
}

static int append_trampoline(Text *trampolines, char *marker) {
    char *at = skip_space(marker + strlen(MARKER));
    if (strncmp(at, "void", 4) != 0 || is_word(at[4])) return 0;
    char *name = skip_space(at + 4), *name_end = name;
    while (is_word(*name_end)) name_end++;
    char *parameter = skip_space(name_end);
    if (name == name_end || *parameter != '(') return 0;
    parameter++;

    char *start_of_name = strndup(name, (size_t)(name_end - name));
    if (!start_of_name) emulation_abort("the host is out of memory");
    char trampoline[512];
    snprintf(trampoline, sizeof trampoline, TRAMPOLINE_PREFIX "%s", start_of_name);
    free(start_of_name);
    int declared_before = trampolines->characters && find_word(trampolines->characters, trampoline);

    Text text = {0};
    append_format(&text, "void %s(void **parameters) { %.*s(", trampoline, (int)(name_end - name), name);
    int index = 0;
    for (char *end = parameter; parameter; index++) {
        while (*end && *end != ',' && *end != ')') end++;
        if (!*end) break;
        int last = *end == ')';
        char *word = skip_space(parameter);
        int empty = last && index == 0 &&
                    (word == end || (strncmp(word, "void", 4) == 0 && skip_space(word + 4) == end));
        if (!empty) append_argument(&text, parameter, end, index);
        parameter = last ? NULL : ++end;
    }
    append_string(&text, "); (void)parameters; }\n");
    if (!declared_before) append(trampolines, text.characters, text.length);
    free(text.characters);
    return parameter == NULL;
}

static int add_trampolines(Text *source, Text *log) {
    blank_linkage(source->characters);
    Text trampolines = {0};
    int understood = 1;
    for (char *at = source->characters; (at = find_word(at, MARKER));) {
        if (!append_trampoline(&trampolines, at)) {
            append_format(log, "cannot read this kernel's signature: %.100s\n", at + strlen(MARKER));
            understood = 0;
        }
        blank(at, at + strlen(MARKER));
    }
    append_string(source, "\n# 1 \"trampolines of kernels\"\n");
    if (trampolines.length) append(source, trampolines.characters, trampolines.length);
    free(trampolines.characters);
    return understood;
}

/* The compiler. */

/* Whether the command succeeds. Appends what it says. */
static int run(char *const arguments[], const char *error_path, Text *log) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, error_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    pid_t child;
    int error = posix_spawnp(&child, arguments[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error) {
        append_format(log, "%s: %s\n", arguments[0], strerror(error));
        return 0;
    }
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return 0;
    read_file(log, error_path);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static const char *compiler(void) {
    const char *chosen = getenv("CUDA_EMULATION_CC");
    return chosen ? chosen : "cc";
}

static const char *const compile_flags[] = {
    "-std=gnu11",
    "-O2",
    "-march=native",
    /* Fused additions only where the source asks, or results would depend on the optimizer. */
    "-ffp-contract=off",
    "-fPIC",
    "-shared",
    /* What is an error in C++ as well. */
    "-Werror=implicit-function-declaration",
    "-Werror=implicit-int",
    "-Werror=incompatible-pointer-types",
    "-Werror=int-conversion",
    "-Werror=discarded-qualifiers",
    "-Werror=return-type",
    /* Touches every page of a stack, so that none steps over the guard. */
    "-fstack-clash-protection",
    /* A CUDA thread's stack is small, and variables this large would be slow on a GPU. */
    "-Werror=frame-larger-than=32768",
};
enum { COMPILE_FLAGS = sizeof compile_flags / sizeof *compile_flags };

/* Appends `-D` options as the host's compiler has them. Other options are a GPU's concern. */
static void append_macros(Text *macros, int count, const char *const *options) {
    for (int index = 0; index < count; index++) {
        const char *option = options[index], *definition = NULL;
        if (strncmp(option, "--define-macro=", 15) == 0) definition = option + 15;
        else if (strcmp(option, "--define-macro") == 0 || strcmp(option, "-D") == 0)
            definition = index + 1 < count ? options[++index] : NULL;
        else if (strncmp(option, "-D", 2) == 0) definition = option + 2;
        if (!definition) continue;
        const char *equals = strchr(definition, '=');
        if (equals)
            append_format(macros, "#define %.*s %s\n", (int)(equals - definition), definition, equals + 1);
        else
            append_format(macros, "#define %s 1\n", definition);
    }
}

static void hash(uint64_t state[2], const char *text) {
    for (; *text; text++)
        for (int half = 0; half < 2; half++)
            state[half] = (state[half] ^ (unsigned char)*text) * (half ? 0x9E3779B97F4A7C15u : 0x100000001B3u);
}

/* Compiles the text into the library. Every process writes files of its own and renames the result,
 * for several may be compiling the same source. */
static int compile(const Text *text, const char *library, Text *log) {
    static unsigned count;
    char stem[3000], input[3100], expanded[3100], output[3100], errors[3100];
    snprintf(stem, sizeof stem, "%s.%ld.%u", library, (long)getpid(), __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED));
    snprintf(input, sizeof input, "%s.c", stem);
    snprintf(expanded, sizeof expanded, "%s.i", stem);
    snprintf(output, sizeof output, "%s.so", stem);
    snprintf(errors, sizeof errors, "%s.log", stem);

    int result = NVRTC_ERROR_INTERNAL_ERROR;
    Text source = {0};
    char *expand[] = {(char *)compiler(), "-std=gnu11", "-march=native", "-O2", "-E", input, "-o", expanded, NULL};
    char *build[COMPILE_FLAGS + 6] = {(char *)compiler()};
    for (int index = 0; index < COMPILE_FLAGS; index++) build[index + 1] = (char *)compile_flags[index];
    build[COMPILE_FLAGS + 1] = expanded;
    build[COMPILE_FLAGS + 2] = "-o";
    build[COMPILE_FLAGS + 3] = output;
    build[COMPILE_FLAGS + 4] = "-lm";

    if (!write_file(text, input)) {
        append_format(log, "cannot write %s\n", input);
        goto done;
    }
    result = NVRTC_ERROR_COMPILATION;
    if (!run(expand, errors, log) || !read_file(&source, expanded) || !add_trampolines(&source, log)) goto done;
    if (!write_file(&source, expanded) || !run(build, errors, log)) goto done;
    result = rename(output, library) == 0 ? NVRTC_SUCCESS : NVRTC_ERROR_INTERNAL_ERROR;

done:
    free(source.characters);
    unlink(input);
    unlink(expanded);
    unlink(output);
    unlink(errors);
    return result;
}

int nvrtcCreateProgram(Program **program, const char *source, const char *name, int header_count,
                       const char *const *headers, const char *const *header_names) {
    (void)name, (void)headers, (void)header_names;
    if (!source || header_count != 0) return NVRTC_ERROR_INVALID_INPUT;
    *program = calloc(1, sizeof **program);
    if (!*program) emulation_abort("the host is out of memory");
    append_string(&(*program)->source, source);
    append_string(&(*program)->log, "");
    append_string(&(*program)->module, "");
    return NVRTC_SUCCESS;
}

int nvrtcDestroyProgram(Program **program) {
    if (!program || !*program) return NVRTC_ERROR_INVALID_PROGRAM;
    free((*program)->source.characters);
    free((*program)->log.characters);
    free((*program)->module.characters);
    free(*program);
    *program = NULL;
    return NVRTC_SUCCESS;
}

int nvrtcCompileProgram(Program *program, int option_count, const char *const *options) {
    if (!program) return NVRTC_ERROR_INVALID_PROGRAM;
    Text text = {0};
    append_string(&text, "#line 1 \"prelude of the emulation\"\n");
    append_string(&text, prelude);
    append_string(&text, "\n#line 1 \"options\"\n");
    append_macros(&text, option_count, options);
    append_string(&text, "#line 1 \"kernels.cu\"\n");
    append_string(&text, program->source.characters);
    append_string(&text, "\n");

    uint64_t key[2] = {0xCBF29CE484222325u, 0x2545F4914F6CDD1Du};
    hash(key, text.characters);
    hash(key, compiler());
    for (int index = 0; index < COMPILE_FLAGS; index++) hash(key, compile_flags[index]);

    const char *temporary = getenv("TMPDIR");
    char folder[2000], library[2900];
    snprintf(folder, sizeof folder, "%s/cuda-emulation-%u", temporary && *temporary ? temporary : "/tmp",
             (unsigned)getuid());
    mkdir(folder, 0700);
    snprintf(library, sizeof library, "%s/%016llx%016llx.so", folder, (unsigned long long)key[0],
             (unsigned long long)key[1]);

    program->log.length = program->module.length = 0;
    append_string(&program->log, "");
    int result = access(library, R_OK) == 0 ? NVRTC_SUCCESS : compile(&text, library, &program->log);
    if (result == NVRTC_SUCCESS) append_format(&program->module, MODULE_MARKER "%s\n", library);
    free(text.characters);
    return result;
}

static int give_size(const Text *text, size_t *bytes) {
    *bytes = text->length + 1;
    return NVRTC_SUCCESS;
}

static int give(const Text *text, char *target) {
    memcpy(target, text->characters, text->length + 1);
    return NVRTC_SUCCESS;
}

int nvrtcGetPTXSize(Program *program, size_t *bytes) { return give_size(&program->module, bytes); }
int nvrtcGetPTX(Program *program, char *module) { return give(&program->module, module); }
int nvrtcGetCUBINSize(Program *program, size_t *bytes) { return give_size(&program->module, bytes); }
int nvrtcGetCUBIN(Program *program, char *module) { return give(&program->module, module); }
int nvrtcGetProgramLogSize(Program *program, size_t *bytes) { return give_size(&program->log, bytes); }
int nvrtcGetProgramLog(Program *program, char *log) { return give(&program->log, log); }

int nvrtcVersion(int *major, int *minor) {
    *major = 13;
    *minor = 0;
    return NVRTC_SUCCESS;
}

int nvrtcGetNumSupportedArchs(int *count) {
    *count = 1;
    return NVRTC_SUCCESS;
}

int nvrtcGetSupportedArchs(int *architectures) {
    *architectures = 90;
    return NVRTC_SUCCESS;
}

const char *nvrtcGetErrorString(int result) {
    switch (result) {
    case NVRTC_SUCCESS: return "NVRTC_SUCCESS";
    case NVRTC_ERROR_INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
    case NVRTC_ERROR_INVALID_PROGRAM: return "NVRTC_ERROR_INVALID_PROGRAM";
    case NVRTC_ERROR_COMPILATION: return "NVRTC_ERROR_COMPILATION";
    default: return "NVRTC_ERROR_INTERNAL_ERROR";
    }
}

/* Kernels have C names, which nothing changes. */
int nvrtcAddNameExpression(Program *program, const char *name) {
    (void)program, (void)name;
    return NVRTC_SUCCESS;
}

int nvrtcGetLoweredName(Program *program, const char *name, const char **lowered) {
    (void)program;
    *lowered = name;
    return NVRTC_SUCCESS;
}
