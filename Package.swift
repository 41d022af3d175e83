// swift-tools-version: 6.2
import PackageDescription

// Targets stand in the order data flows; each imports only targets above it.
// Kernel modules hold one source compiled once per instruction set (see docs/ARCHITECTURE.md).

let engine: [SwiftSetting] = [.swiftLanguageMode(.v6)]

/// Flags that select the instruction set of a kernel module. Always optimised: unoptimised vector code would be useless,
/// and only optimised modules are free of weak library symbols (see scripts/check-isa.sh).
func kernelSettings(_ define: String, _ flags: [String]) -> [SwiftSetting] {
  [.swiftLanguageMode(.v6), .define(define), .unsafeFlags(["-O"] + flags + ["-Xcc", "-fno-math-errno"])]
}

#if arch(x86_64)
  let kernelModules: [Target.Dependency] = [
    "KernelsAVX512", "KernelsAVX512VNNI", "KernelsAVX512BF16", "KernelsAMX", "KernelsAVX2", "KernelsPortable",
  ]
  let kernelTargets: [Target] = [
    .target(
      name: "KernelsAVX512", dependencies: ["CSIMD", "KernelTable"],
      swiftSettings: kernelSettings("KERNELS_AVX512", ["-Xcc", "-march=x86-64-v4"])),
    .target(
      name: "KernelsAVX512VNNI", dependencies: ["CSIMD", "KernelTable"],
      swiftSettings: kernelSettings("KERNELS_AVX512", ["-march=x86-64-v4", "-mavx512vnni"].flatMap { ["-Xcc", $0] })),
    .target(
      name: "KernelsAVX512BF16", dependencies: ["CSIMD", "KernelTable"],
      swiftSettings: kernelSettings("KERNELS_AVX512", ["-march=x86-64-v4", "-mavx512bf16"].flatMap { ["-Xcc", $0] })),
    .target(
      name: "KernelsAMX", dependencies: ["CSIMD", "KernelTable"],
      swiftSettings: kernelSettings(
        "KERNELS_AVX512",
        ["-march=x86-64-v4", "-mavx512bf16", "-mamx-tile", "-mamx-bf16", "-mamx-int8"].flatMap { ["-Xcc", $0] })),
    .target(
      name: "KernelsAVX2", dependencies: ["CSIMD", "KernelTable"],
      swiftSettings: kernelSettings("KERNELS_AVX2", ["-Xcc", "-march=x86-64-v3"])),
  ]
#else
  let kernelModules: [Target.Dependency] = ["KernelsPortable"]
  let kernelTargets: [Target] = []
#endif

/// A shared library that any process can load: our symbols only, the Swift runtime inside (its dynamic form would install
/// signal handlers in the host), never unloaded (threads and the runtime's own state would dangle).
/// SwiftPM ignores `--static-swift-stdlib` for dynamic products, so the flags stand here.
let sharedLibrary: [LinkerSetting] = [
  .unsafeFlags(
    ["-static-stdlib", "-no-toolchain-stdlib-rpath"]
      + [
        "--version-script=\(Context.packageDirectory)/Sources/SharedLibrary/exports.map", "-soname=libadadiff.so.1",
        "--gc-sections", "-s", "-z", "nodelete", "-z", "defs",
      ].flatMap { ["-Xlinker", $0] })
]

let package = Package(
  name: "adadiff",
  products: [
    .library(name: "adadiff", type: .dynamic, targets: ["SharedLibrary"]),
    .executable(name: "adadiff-cli", targets: ["adadiff-cli"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0")
  ],
  targets: [
    .systemLibrary(name: "CAdaDiff", path: "include"),
    .target(
      name: "COnnx",
      cxxSettings: [.define("ONNX_ML", to: "1"), .define("ONNX_NAMESPACE", to: "onnx")],
      linkerSettings: [.linkedLibrary("onnx"), .linkedLibrary("onnx_proto"), .linkedLibrary("protobuf")]),
    .target(name: "CSIMD"),
    .systemLibrary(name: "COpenBLAS"),
    .target(name: "Support", dependencies: ["CSIMD"], swiftSettings: engine),
    .target(name: "KernelTable", swiftSettings: engine),
    .target(
      name: "KernelsPortable", dependencies: ["CSIMD", "KernelTable"],
      swiftSettings: kernelSettings("KERNELS_PORTABLE", [])),
    .target(name: "Kernels", dependencies: ["CSIMD", "KernelTable"] + kernelModules, swiftSettings: engine),
    .target(name: "Graph", dependencies: ["Support", "COnnx"], swiftSettings: engine),
    .target(
      name: "Operators", dependencies: ["Support", "Graph", "KernelTable", "Kernels", "COpenBLAS"],
      swiftSettings: engine),
    .target(name: "Runtime", dependencies: ["Support", "Graph", "Operators"], swiftSettings: engine),
    .target(name: "Tokenizers", dependencies: ["Support"], swiftSettings: engine),
    .target(name: "Schedulers", dependencies: ["Support"], swiftSettings: engine),
    .target(name: "Adaptive", dependencies: ["Support", "Graph", "Runtime", "Tokenizers"], swiftSettings: engine),
    .target(
      name: "Pipelines",
      dependencies: ["Support", "Kernels", "Graph", "Runtime", "Tokenizers", "Schedulers", "Adaptive"],
      swiftSettings: engine),
    .target(name: "OnnxWriter", swiftSettings: engine),
    .target(
      name: "Training",
      dependencies: [
        "Support", "KernelTable", "Kernels", "Graph", "Runtime", "Tokenizers", "OnnxWriter", "Adaptive", "Pipelines",
      ],
      swiftSettings: engine),
    .systemLibrary(name: "CLibPNG", pkgConfig: "libpng16", providers: [.apt(["libpng-dev"])]),
    .target(name: "PictureFiles", dependencies: ["Support", "CLibPNG"], swiftSettings: engine),
    .target(
      name: "AdaDiff",
      dependencies: [
        "CAdaDiff", "Support", "Graph", "Operators", "Runtime", "Adaptive", "Pipelines", "Training", "PictureFiles",
      ],
      swiftSettings: engine),
    .target(
      name: "SharedLibrary", dependencies: ["AdaDiff"], exclude: ["exports.map"], swiftSettings: engine,
      linkerSettings: sharedLibrary),
    .target(name: "NumpyFiles", dependencies: ["Support"], swiftSettings: engine),
    .executableTarget(
      name: "adadiff-cli",
      dependencies: [
        "CAdaDiff", "AdaDiff", "Adaptive", "Graph", "Operators", "Pipelines", "Runtime", "NumpyFiles", "PictureFiles",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: engine,
      linkerSettings: [
        .unsafeFlags(["-static-stdlib", "-no-toolchain-stdlib-rpath"]),
        .linkedLibrary("FoundationEssentials"), .linkedLibrary("_FoundationCollections"),
        .linkedLibrary("_FoundationCShims"),
      ]),
    .executableTarget(name: "node-suite", dependencies: ["Graph", "Operators", "Runtime"], swiftSettings: engine),
    .target(
      name: "Ladder", dependencies: ["Support", "Graph", "KernelTable", "Kernels", "Operators"],
      path: "Benchmarks/Ladder", swiftSettings: engine),
    .executableTarget(
      name: "kernel-ladder", dependencies: ["Ladder", "Kernels", "Operators", "Support"],
      path: "Benchmarks/kernel-ladder",
      swiftSettings: engine),
    .testTarget(name: "LadderTests", dependencies: ["Ladder"], swiftSettings: engine),
    .testTarget(name: "NumpyFilesTests", dependencies: ["NumpyFiles", "Support"], swiftSettings: engine),
    .testTarget(
      name: "PictureFilesTests", dependencies: ["PictureFiles", "CLibPNG", "Support"], swiftSettings: engine),
    .testTarget(name: "SupportTests", dependencies: ["Support"]),
    .testTarget(name: "GraphTests", dependencies: ["Graph", "OnnxWriter", "Support"]),
    .target(name: "AllocationCounter", path: "Tests/AllocationCounter"),
    .testTarget(
      name: "RuntimeTests",
      dependencies: [
        "AllocationCounter", "Graph", "KernelTable", "Kernels", "OnnxWriter", "Operators", "Runtime", "Support",
      ]),
    .testTarget(name: "TokenizersTests", dependencies: ["Tokenizers", "Support"]),
    .testTarget(name: "SchedulersTests", dependencies: ["Schedulers", "Support"]),
    .testTarget(
      name: "PipelinesTests",
      dependencies: ["Adaptive", "Pipelines", "Graph", "Runtime", "Schedulers", "Support"],
      swiftSettings: engine),
    .testTarget(
      name: "AdaptiveTests", dependencies: ["Adaptive", "Graph", "Runtime", "Support"], swiftSettings: engine),
    .testTarget(
      name: "TrainingTests", dependencies: ["Training", "Adaptive", "Graph", "Runtime", "Support"],
      swiftSettings: engine),
    .testTarget(name: "ABITests", dependencies: ["CAdaDiff", "AdaDiff"], swiftSettings: engine),
    .testTarget(name: "OperatorsTests", dependencies: ["Operators", "Graph", "Support"]),
    .testTarget(name: "KernelsTests", dependencies: ["KernelTable", "Kernels"]),
  ] + kernelTargets,
  cxxLanguageStandard: .cxx17
)
