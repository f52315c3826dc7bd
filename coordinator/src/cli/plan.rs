//! `reprise plan`: what a study file will run, what is finished of it, and what the
//! rest takes. It starts nothing and changes nothing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use reprise_core::plan::study_digest;
use reprise_domain::record::{TaskFilter, TaskStateKind};
use reprise_domain::{Digest, StudyName};
use reprise_proto::credential::Credential;
use serde::Serialize;

use super::benchmark::load;
use super::exit::{OrWrongInput as _, ensure_input};
use super::output::{OutputArgs, Table, print_json};
use super::{eprint_block, print_block};
use crate::architectures::planned;
use crate::client::Client;
use crate::estimate::known::Known;
use crate::estimate::{Outlook, StageOutlook};
use crate::state::JOURNAL;
use crate::store::load::read_state;
use crate::store::sqlite::SqliteReader;

/// Arguments of `reprise plan`.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// The study file.
    study: PathBuf,
    /// Where `reprise run` keeps what is finished; nothing is where there is no such
    /// directory.
    #[arg(long, default_value = ".reprise")]
    state: PathBuf,
    /// Ask this coordinator what is finished instead. `REPRISE_COORDINATOR` does not count
    /// here: a plan is of this machine's own state where nothing else is said.
    #[arg(long, value_name = "URL")]
    coordinator: Option<String>,
    /// The credential to show it, where its address begins with `https`.
    #[arg(
        long,
        env = "REPRISE_CREDENTIAL",
        hide_env_values = true,
        value_name = "FILE"
    )]
    credential: Option<PathBuf>,
    /// Price of an hour of one core, in any currency.
    #[arg(long, value_name = "PRICE")]
    price: Option<f64>,
    /// Price of an hour of a graphics card, in the same currency.
    #[arg(long, value_name = "PRICE")]
    gpu_price: Option<f64>,
    #[command(flatten)]
    output: OutputArgs,
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Told<'a> {
    study: &'a StudyName,
    digest: Digest,
    /// Where finished tasks were looked for; nothing where there is no such place.
    looked_in: Option<String>,
    #[serde(flatten)]
    outlook: &'a Outlook,
    /// Price of the core hours; nothing where an estimate or a price is missing.
    core_price: Option<f64>,
    /// Price of the GPU hours, likewise.
    gpu_price: Option<f64>,
}

/// Says what would run.
pub(super) async fn run(args: PlanArgs) -> anyhow::Result<ExitCode> {
    for price in [args.price, args.gpu_price].into_iter().flatten() {
        ensure_input(price.is_finite() && price >= 0.0, || {
            format!("a price is `{price}`, expected a number from 0")
        })?;
    }
    let spec = load(&args.study)?.spec;
    let planned = planned(&spec).or_wrong_input()?;
    let (known, looked_in) = known(&args).await?;
    let outlook = Outlook::of(&planned, &known);
    let core_price = product(args.price, outlook.core_hours);
    let gpu_price = product(args.gpu_price, gpu_hours(&outlook.stages));
    if args.output.is_json() {
        print_json(&Told {
            study: &spec.name,
            digest: study_digest(&spec),
            looked_in,
            outlook: &outlook,
            core_price,
            gpu_price,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    print_block(&table(&outlook).text(true));
    for line in notes(&outlook, looked_in.as_deref()) {
        eprint_block(&line);
    }
    let at_least = if outlook.tasks_without_estimate > 0 {
        "at least "
    } else {
        ""
    };
    if let Some(price) = core_price {
        eprint_block(&format!(
            "price of the core hours: {at_least}{}",
            money(price)
        ));
    }
    if let Some(price) = gpu_price {
        eprint_block(&format!(
            "price of the GPU hours: {at_least}{}",
            money(price)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// What is finished, and where that was looked up.
async fn known(args: &PlanArgs) -> anyhow::Result<(Known, Option<String>)> {
    if let Some(url) = &args.coordinator {
        let credential = args.credential.as_deref();
        let credential = credential.map(Credential::read).transpose()?;
        let client = Client::connect(url, credential.as_ref()).await?;
        return Ok((of_coordinator(client).await?, Some(url.clone())));
    }
    let journal = args.state.join(JOURNAL);
    if !journal.exists() {
        return Ok((Known::default(), None));
    }
    let known = of_journal(&journal)
        .await
        .with_context(|| format!("read what is finished in `{}`", args.state.display()))?;
    Ok((known, Some(args.state.display().to_string())))
}

/// A coordinator may be using the journal.
async fn of_journal(journal: &Path) -> anyhow::Result<Known> {
    let reader = SqliteReader::open(journal).await?;
    Ok(Known::of_state(&read_state(&reader).await?))
}

/// The finished tasks of all studies of a coordinator.
async fn of_coordinator(mut client: Client) -> anyhow::Result<Known> {
    let mut known = Known::default();
    let mut token = None;
    loop {
        let page = client.workers(token).await?;
        for worker in &page.entries {
            known.add_device(&worker.device);
        }
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    let finished = TaskFilter {
        states: vec![TaskStateKind::Finished],
        ..TaskFilter::default()
    };
    for study in client.studies().await? {
        let status = client.status(&study.name).await?;
        let mut keys = vec![Vec::new(); status.stages.len()];
        let mut token = None;
        loop {
            let page = client.tasks(&study.name, &finished, token).await?;
            for task in page.entries {
                if let Some(stage) = keys.get_mut(task.stage_index as usize) {
                    stage.push(task.key);
                }
            }
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        for (stage, keys) in status.stages.iter().zip(keys) {
            let Some(first) = keys.first() else {
                continue;
            };
            let spec = client.task(&first.to_string()).await?.spec;
            // The mean is over those that were finished when the status was asked for.
            if stage.tasks.finished == 0 {
                continue;
            }
            let counted = stage.tasks.finished as f64;
            let each = stage.tasks.finished_slot_seconds.get() / counted;
            let seconds = each * keys.len() as f64;
            known.add_kind(keys, &spec, seconds);
        }
    }
    Ok(known)
}

fn product(price: Option<f64>, hours: Option<f64>) -> Option<f64> {
    Some(price? * hours?)
}

/// GPU hours of the stages that have some.
fn gpu_hours(stages: &[StageOutlook]) -> Option<f64> {
    let hours = stages.iter().filter_map(|stage| stage.gpu_hours);
    hours.reduce(|sum, hours| sum + hours)
}

fn table(outlook: &Outlook) -> Table {
    let mut table = Table::new(&[
        "stage",
        "#tasks",
        "#cached",
        "#to run",
        "#core hours",
        "#GPU hours",
        "from",
    ]);
    for stage in &outlook.stages {
        let from = match stage.measured_tasks {
            0 => stage.source.as_str().to_owned(),
            tasks => format!("{} on {tasks}", stage.source.as_str()),
        };
        table.push(vec![
            stage.name.clone(),
            stage.tasks.to_string(),
            stage.cached.to_string(),
            stage.left.to_string(),
            hours(stage.core_hours),
            hours(stage.gpu_hours),
            from,
        ]);
    }
    table.push(vec![
        "all".to_owned(),
        outlook.tasks.to_string(),
        outlook.cached.to_string(),
        outlook.left.to_string(),
        hours(outlook.core_hours),
        hours(gpu_hours(&outlook.stages)),
        String::new(),
    ]);
    table
}

/// Hours for people; a dash where there is no estimate.
fn hours(hours: Option<f64>) -> String {
    match hours {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(hours) if hours < 0.001 => "<0.001".to_owned(),
        Some(hours) if hours < 10.0 => format!("{hours:.3}"),
        Some(hours) => format!("{hours:.0}"),
    }
}

/// A price for people; a small one keeps digits, so that it does not look like none.
fn money(price: f64) -> String {
    if price == 0.0 || price >= 1.0 {
        format!("{price:.2}")
    } else {
        format!("{price:.5}")
    }
}

/// What to know of the numbers.
fn notes(outlook: &Outlook, looked_in: Option<&str>) -> Vec<String> {
    let mut notes = vec![match looked_in {
        Some(place) => format!("finished tasks are those in `{place}`"),
        None => "nothing is finished: there is no state directory yet".to_owned(),
    }];
    if outlook.tasks_without_estimate > 0 {
        notes.push(format!(
            "{} tasks have no estimate and are not in the hours; once a task of their kind is \
             finished, it is measured",
            outlook.tasks_without_estimate
        ));
    }
    let has_alternative = outlook
        .stages
        .iter()
        .any(|stage| stage.core_hours.is_some() && stage.gpu_hours.is_some());
    if has_alternative {
        notes.push(
            "pretraining takes its core hours, or on a graphics card its GPU hours instead"
                .to_owned(),
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_for_people_and_what_is_missing_is_not_zero() {
        for (given, expected) in [
            (None, "-"),
            (Some(0.0), "0"),
            (Some(0.0001), "<0.001"),
            (Some(1.25), "1.250"),
            (Some(1234.5), "1234"),
        ] {
            assert_eq!(hours(given), expected);
        }
        assert_eq!(
            (money(12.345), money(0.00123)),
            ("12.35".to_owned(), "0.00123".to_owned())
        );
        assert_eq!(product(Some(2.0), None), None);
        assert_eq!(product(Some(2.0), Some(3.0)), Some(6.0));
    }
}
