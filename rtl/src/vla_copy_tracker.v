// Which packets of a COPY engine are held, and when each is done: at most two, the head (oldest) and the
// one behind it, told apart by a tag of one bit.
// Does: count the pieces dealt and retired of each; say done for the head when its walk has ended and all
// its pieces have retired and settled, with error_o if one of its pieces met an error; accept a packet when none is being
// walked and fewer than two are held.
// Does not: know what a piece is. A piece retires at least one cycle after it was dealt.
// Handshake: accept_i in a cycle in which ready_o is high; walk_idle_i is low from the next cycle until the
// last piece of the packet is dealt; done_o is high for one cycle, error_o only in such a cycle.
`default_nettype none
module vla_copy_tracker #(
  parameter Movers    = 1,  // who may each retire one piece per cycle
  parameter CountBits = 8   // pieces of one packet underway fit
) (
  input  wire                 clk_i,
  input  wire                 rst_i,
  input  wire                 accept_i,
  output wire                 ready_o,
  input  wire                 walk_idle_i,
  input  wire                 settled_i,     // what retired pieces wrote is written
  input  wire [CountBits-1:0] dealt_i,       // pieces of the packet being walked dealt in this cycle
  input  wire [Movers-1:0]    retire_i,
  input  wire [Movers-1:0]    error_i,       // a piece that has not retired before meets an error
  input  wire [Movers-1:0]    retire_tag_i,  // of which packet
  output wire                 walk_tag_o,    // tag of the packet being walked, or walked last
  output wire                 head_tag_o,    // tag of the oldest packet
  output wire                 done_o,
  output wire                 error_o,
  output wire                 active_o
);

  reg                 walking_q;
  reg                 walk_tag_q;
  reg                 head_tag_q;
  reg [1:0]           held_q;
  reg [CountBits-1:0] count0_q, count1_q;  // pieces underway by tag

  reg [1:0]           failed_q;            // a piece of it met an error, by tag

  // How many of some bits are set.
  function [CountBits-1:0] count;
    input [Movers-1:0] bits;
    integer i;
    begin
      count = {CountBits{1'b0}};
      for (i = 0; i < Movers; i = i + 1) count = count + {{CountBits-1{1'b0}}, bits[i]};
    end
  endfunction

  wire [CountBits-1:0] retired0 = count(retire_i & ~retire_tag_i);
  wire [CountBits-1:0] retired1 = count(retire_i & retire_tag_i);
  wire [1:0]           failed   = {(error_i & retire_tag_i) != {Movers{1'b0}}, (error_i & ~retire_tag_i) != {Movers{1'b0}}};

  wire head_left = head_tag_q ? count1_q != 0 : count0_q != 0;
  wire head_walk = walking_q && walk_tag_q == head_tag_q;

  assign done_o     = held_q != 2'd0 && !head_left && !head_walk && settled_i;
  assign error_o    = done_o && failed_q[head_tag_q];
  assign ready_o    = !walking_q && held_q != 2'd2;
  assign walk_tag_o = walk_tag_q;
  assign head_tag_o = head_tag_q;
  assign active_o   = held_q != 2'd0;

  always @(posedge clk_i) begin
    if (rst_i) begin
      walking_q  <= 1'b0;
      walk_tag_q <= 1'b1;
      head_tag_q <= 1'b0;
      held_q     <= 2'd0;
      failed_q   <= 2'b00;
      count0_q   <= 0;
      count1_q   <= 0;
    end else begin
      if (accept_i) begin
        walking_q  <= 1'b1;
        walk_tag_q <= !walk_tag_q;
      end else if (walk_idle_i) begin
        walking_q  <= 1'b0;
      end
      if (done_o) head_tag_q <= !head_tag_q;
      held_q   <= held_q + {1'b0, accept_i} - {1'b0, done_o};
      failed_q <= failed | (done_o ? failed_q & (head_tag_q ? 2'b01 : 2'b10) : failed_q);
      count0_q <= count0_q + (walk_tag_q ? {CountBits{1'b0}} : dealt_i) - retired0;
      count1_q <= count1_q + (walk_tag_q ? dealt_i : {CountBits{1'b0}}) - retired1;
    end
  end

endmodule
`default_nettype wire
