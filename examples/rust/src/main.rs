//! A picture from a prompt. Usage: generate PIPELINE_FOLDER "a prompt" picture.png

use adadiff::{Options, Pipeline};

fn generate(folder: &str, prompt: &str, path: &str) -> Result<(), adadiff::Error> {
    let pipeline = Pipeline::open(folder, &Options::new())?;
    let mut options = Options::new();
    options.set_text("steps", "auto")?.set_int("seed", 42)?;
    let result = pipeline.session()?.generate(prompt, &options)?;
    result.save_png(path, 0)?;
    let (steps, policy, milliseconds) = (result.steps(), result.policy(), result.milliseconds());
    println!("{path}: {steps} steps ({policy}), {milliseconds:.0} ms");
    Ok(())
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, prompt, path] = arguments.as_slice() else {
        eprintln!("usage: generate PIPELINE_FOLDER PROMPT PICTURE.png");
        std::process::exit(64);
    };
    if let Err(error) = generate(folder, prompt, path) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
