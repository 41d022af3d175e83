//! Learns how many steps a prompt deserves, with a scorer of one's own, and lets the policy decide.
//! Usage: policy PIPELINE_FOLDER "a prompt" WORK_FOLDER

use adadiff::{policy, Error, Options, Pipeline, Scoring};

/// A stand-in for a real judge: how much neighbouring pixels differ.
fn sharpness(it: &Scoring) -> f64 {
    let [height, width, channels] = it.shape;
    let differences = it
        .pixels
        .chunks_exact(width * channels)
        .flat_map(|row| row.iter().zip(&row[channels..]).map(|(&left, &right)| f64::from(left.abs_diff(right))));
    differences.sum::<f64>() / (height * (width - 1) * channels) as f64
}

fn learn(pipeline: &str, prompt: &str, folder: &str) -> Result<String, Error> {
    let [prompts, table, trained] = ["prompts.txt", "rewards.csv", "policy"].map(|name| format!("{folder}/{name}"));
    std::fs::write(&prompts, "a red apple\na cat\ntwo cats and a tree\na pile of apples\n").expect("a writable folder");
    let pipeline = Pipeline::open(pipeline, &Options::new())?;
    let mut options = Options::new();
    options.on_score(sharpness)?.set_text("collect_metrics", "host")?.set_text("collect_step_set", "1/2/4")?;
    options.set_text("train_estimator", "expected")?.set_float("train_learning_rate", 1e-3)?;
    options.set_int("train_epochs", 20)?.set_text("reward_scale", "standard")?;
    // Started again after an interruption, this would only make what is missing.
    policy::collect(&pipeline, &prompts, &table, &options)?;
    policy::train(&pipeline, &table, &trained, &options)?;
    options.set_text("policy", &format!("learned:path={trained}"))?.set_int("seed", 42)?;
    policy::decide(&pipeline, prompt, &options)
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, pipeline, prompt, folder] = arguments.as_slice() else {
        eprintln!("usage: policy PIPELINE_FOLDER PROMPT WORK_FOLDER");
        std::process::exit(64);
    };
    match learn(pipeline, prompt, folder) {
        Ok(decision) => println!("{decision}"),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}
