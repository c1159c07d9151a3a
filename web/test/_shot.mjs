import { launch } from "./chrome.mjs";
import { serve } from "./server.mjs";
const R="/work/wt-web/";
const server = await serve({ "": R+"web/dist/page", minilm: process.env.HOME+"/.cache/frostbert/models/all-MiniLM-L6-v2" });
const chrome = await launch();
const ctx = await chrome.context({viewport:{width:1100,height:900}}); const page = await ctx.newPage();
page.on("console", m => console.log("console", m.text().slice(0,500))); page.on("pageerror", e=>console.log("pageerror", e.message));
const t0=Date.now(); const log=(...a)=>console.log(((Date.now()-t0)/1000).toFixed(1), ...a);
await page.goto(server.origin+"/");
await page.screenshot({path:"out/0.png",fullPage:true});
try{
await page.getByLabel("Model",{exact:true}).fill(server.origin+"/minilm"); await page.getByLabel("Device").selectOption("cpu");
await page.getByRole("button",{name:"Load",exact:true}).click(); await page.getByText("Runs on").waitFor({timeout:120000}); log("loaded");
await page.getByRole("button",{name:"Take 60 short film remarks"}).click(); await page.getByText("2 labels in 60 rows").waitFor({timeout:60000}); log("table");
await page.getByText(/longer than the/).waitFor({timeout:60000});
await page.screenshot({path:"out/1.png",fullPage:true});
await page.getByRole("button",{name:"Embed and train"}).click(); await page.getByText(/texts\/s/).waitFor({timeout:60000}).catch(()=>0); await page.screenshot({path:"out/1b.png",fullPage:true});
await page.locator("svg.map").waitFor({timeout:200000}); log("trained");
await page.getByLabel("Text",{exact:true}).fill("A warm and clever film with awful music."); await page.locator(".shares .share").first().waitFor({timeout:60000}); log("explained");
await page.screenshot({path:"out/2.png",fullPage:true});
await page.emulateMedia({colorScheme:"dark"}); await page.setViewportSize({width:390,height:844}); await page.screenshot({path:"out/3.png",fullPage:true});
}catch(e){log("ERR",e.message.slice(0,600)); await page.screenshot({path:"out/err.png",fullPage:true});}
await chrome.close(); await server.close();
